-- The giant's six indexes: its key, four others, and a GIN; and what it refers to.
\set ON_ERROR_STOP on
set synchronous_commit = off;
set maintenance_work_mem = '512MB';

alter table public.events add constraint events_pkey primary key (id);
create index events_on_account on public.events (account_id, happened_at desc);
create index events_on_happened_at on public.events (happened_at);
create index events_on_path on public.events (path);
create index events_on_amount on public.events (kind, amount) where amount is not null;
create index events_on_tags on public.events using gin (tags);
alter table public.events add constraint events_account foreign key (account_id) references public.accounts (id);
