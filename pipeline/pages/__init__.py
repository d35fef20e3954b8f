"""What HTML pages and figures share."""
