-- Failures are few, and are what people look for first: without it they are searched for among all that went well.
create index call_failed on call (started_at, id) where outcome_class <> 'ok';
