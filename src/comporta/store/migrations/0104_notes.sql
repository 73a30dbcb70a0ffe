-- What stages decided of a call and why, by the stage's name; no content.
alter table call add column notes jsonb;
