-- Tokens of answers that the cache gave again; until now they were among the others.
alter table rollup_minute add column hit_tokens bigint not null default 0;
alter table rollup_hour add column hit_tokens bigint not null default 0;
