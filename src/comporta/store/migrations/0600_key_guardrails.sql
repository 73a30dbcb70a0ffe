-- The guard policy that holds for all calls of a key, beside those of routes and prompts.
alter table virtual_key add column guardrails text;
