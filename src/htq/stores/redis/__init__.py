"""The store over Redis 7.0 or later, or Valkey. See `docs/design/store-redis.md`."""

from htq.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
