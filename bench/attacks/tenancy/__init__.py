"""Every table, verb, role and tenant, every reference, door and injected statement."""
