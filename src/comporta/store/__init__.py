"""PostgreSQL, embedded or external: supervisor, pool, migrations, change notices."""
