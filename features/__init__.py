"""The feature platform: what a feature is, its way into the online store, and out of it."""
