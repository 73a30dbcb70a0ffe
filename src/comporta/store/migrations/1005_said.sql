-- What users wrote, among many more scores that nobody said.
create index score_said on score (at)
    where source = 'user' and ((name = 'comment' and kind = 'text') or (kind <> 'text' and reason is not null));
