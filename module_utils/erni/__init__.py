"""The logic of the platform's modules: pure planning, apart from the adapters that touch the world."""
