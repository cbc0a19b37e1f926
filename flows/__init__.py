"""The steps of ``registry.tasks`` composed into flows; each module is one deployment's entry."""
