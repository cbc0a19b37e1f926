"""This registry behind MLflow's client, server and web pages, and a way in for registries that MLflow keeps.

``mlflow.set_registry_uri("prefect-registry+sqlite:///registry.db")`` is all that code needs to know: MLflow
finds the rest through the entry points in ``pyproject.toml``.

- ``store``: MLflow's registry store on our tables
- ``entities``: our rows as MLflow's objects
- ``search``: MLflow's filters and orders as SQL
- ``sources``: what MLflow calls a source, taken into the artifact store
- ``artifacts``: the way back, each byte checked
- ``pyfunc``: versions of our own, loaded by MLflow
- ``locations``: which registry a URI means
- ``importing``: what is in an MLflow registry, brought here
- ``errors``: what our errors are called there
"""
