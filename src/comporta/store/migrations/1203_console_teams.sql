-- Whose calls a viewer of the console sees: of these teams alone, and of all where there are none named.
alter table console_user add column teams text[] check (cardinality(teams) > 0);
