"""What HTML pages and pictures share."""
