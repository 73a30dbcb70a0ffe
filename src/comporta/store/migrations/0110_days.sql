-- Sums by one property and day (UTC), made of those by the hour once the day is over: figures of a month are then read
-- from thirty rows of each name and not from seven hundred.
create table facet_day (like facet_hour including all);
create table facet_stale_day (period timestamptz not null);
create index facet_stale_day_period on facet_stale_day (period);

-- Whoever marks an hour marks its day, and need not know of days. One mark is enough while the day runs, since nobody
-- takes it away until it is over; later each needs its own, as with hours.
create function facet_day_is_stale() returns trigger
language plpgsql
as $$
begin
    insert into facet_stale_day (period)
    select distinct date_trunc('day', period, 'UTC') from marked
    where period < date_trunc('day', now(), 'UTC') or not exists (
        select from facet_stale_day as s where s.period = date_trunc('day', marked.period, 'UTC')
    );
    return null;
end
$$;

create trigger facet_day_is_stale after insert on facet_stale_hour
    referencing new table as marked
    for each statement execute function facet_day_is_stale();

insert into facet_stale_day select distinct date_trunc('day', period, 'UTC') from rollup_hour;
