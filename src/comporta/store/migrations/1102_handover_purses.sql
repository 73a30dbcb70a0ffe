-- Under which names handovers hold money: whichever worker of the gate ends one must find all of it.
alter table batch_handover add column purses text[] not null default '{}';
