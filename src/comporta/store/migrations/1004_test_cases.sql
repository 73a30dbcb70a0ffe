-- What prompts are tested with, as the last push brought it: what production asks is held against it.
create table prompt_test_set (
    prompt_id text collate "C" primary key references prompt (id),
    -- Names all that the cases say.
    digest text not null,
    cases integer not null,
    pushed_at timestamptz not null default clock_timestamp(),
    pushed_by text not null
);

create table prompt_test_case (
    prompt_id text collate "C" not null references prompt_test_set (prompt_id) on delete cascade,
    place integer not null,
    id text not null,
    -- What the model is told last in the user's name, and the values that it was made of.
    input text not null,
    variables jsonb not null default '{}',
    primary key (prompt_id, place)
);

-- Examples of a prompt's datasets are tests of it, too.
create index dataset_example_prompt on dataset_example (prompt_id) where prompt_id is not null;
