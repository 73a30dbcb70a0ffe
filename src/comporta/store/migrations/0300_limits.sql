-- Limits of a key's own; null leaves it to the configuration.
alter table virtual_key
    add column requests_per_minute bigint check (requests_per_minute > 0),
    add column tokens_per_minute bigint check (tokens_per_minute > 0),
    add column concurrent bigint check (concurrent > 0);
