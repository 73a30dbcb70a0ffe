-- pgvector serves the vector index of the cache and of retrieval; where the server has none, they do without.
do $$
begin
    if exists (select from pg_available_extensions where name = 'vector') then
        create extension if not exists vector;
    end if;
exception
    when insufficient_privilege then
        raise notice 'pgvector is installed, but this user may not enable it: create extension vector;';
end
$$;
