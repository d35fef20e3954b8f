"""The figures of the report: computed from a store's tables, without any HTML."""
