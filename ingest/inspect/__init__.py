"""One recording, looked at by whoever has it: what ingest would make of it, without a store."""
