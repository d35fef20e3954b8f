"""Our signal steps compared with scipy's filters and with actipy."""
