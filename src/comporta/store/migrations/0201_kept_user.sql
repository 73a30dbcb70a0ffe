-- Whose response it is, so that all of a user's can be exported and erased.
alter table kept_response add column user_id text;
create index kept_response_user on kept_response (user_id) where user_id is not null;
