"""Several gateways as one: agents at home at one of them take calls of all. Without `[cluster]` nothing of it runs."""
