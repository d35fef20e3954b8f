"""`persondays whois`: from keyed ids back to names."""
