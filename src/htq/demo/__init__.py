"""`htq demo`: a guided tour on the terminal, with a real queue and a slow service, that ends by itself."""

from htq.demo.command import run

__all__ = ["run"]
