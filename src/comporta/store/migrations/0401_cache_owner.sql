-- Whose answer it is, by a hash: enough to erase by, and the cache need not know names.
alter table cache_entry add column user_sha256 bytea;
update cache_entry set user_sha256 = sha256(convert_to(user_name, 'UTF8')) where user_name is not null;
alter table cache_entry drop column user_name;
create index cache_entry_user on cache_entry (user_sha256) where user_sha256 is not null;
