"""htq, an HTTP task queue."""

__version__ = "1.0.0"
