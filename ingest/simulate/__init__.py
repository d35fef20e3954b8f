"""A population of people who never were, recorded by devices of a real make: files with a known truth."""
