-- Items of a stream since its reference began, which an even sample of a long time needs.
alter table drift_stream add column taken bigint not null default 0;
