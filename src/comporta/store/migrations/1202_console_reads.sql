-- What pages of the console look for among all: answers given again by their meaning, and verdicts of guards.
create index call_semantic on call (started_at, id) where cache = 'semantic';
create index score_guard on score (at) where source = 'guard';
create index semantic_check_wrong on semantic_check (id) where wrong;
