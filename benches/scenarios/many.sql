-- Many small tables, 3,000 at scale 1: what each of them costs counts, not what it holds. many-tables.sql makes them,
-- many-references.sql lets them refer to each other.
\set ON_ERROR_STOP on

create type public.state as enum ('new', 'open', 'done');
comment on type public.state is 'Used by all the tables.';
