"""Inspect one recording: what ingest would make of it, without a store."""
