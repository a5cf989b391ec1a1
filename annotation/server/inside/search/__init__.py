"""A search engine for Argilla over its own SQLite database; importing the package registers it as "datakit".

It runs inside Argilla's isolated environment, where datakit is not: standard library, argilla_server and sqlalchemy.
"""

from .engine import DatakitSearchEngine

__all__ = ["DatakitSearchEngine"]
