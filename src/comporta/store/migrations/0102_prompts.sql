-- Which prompt a call asked with, its values (as far as content is kept), and the tags of the deploy that it came by.
alter table call add column prompt_id text;
alter table call add column prompt_version text;
alter table call add column prompt_label text;
alter table call add column variables jsonb;
alter table call add column deploy jsonb;

create index call_prompt on call (prompt_id, prompt_version, started_at) where prompt_id is not null;

alter table rollup_minute add column prompt_id text not null default '';
alter table rollup_minute add column prompt_version text not null default '';
alter table rollup_hour add column prompt_id text not null default '';
alter table rollup_hour add column prompt_version text not null default '';

-- Versions are compared by their figures, so they are told apart like routes and models.
alter table rollup_minute drop constraint rollup_minute_pkey, add primary key (
    period, route, variant, provider, model, key_id, team, environment, feature, outcome_class, prompt_id,
    prompt_version
);
alter table rollup_hour drop constraint rollup_hour_pkey, add primary key (
    period, route, variant, provider, model, key_id, team, environment, feature, outcome_class, prompt_id,
    prompt_version
);
