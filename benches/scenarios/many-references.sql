-- Every third table has a foreign key to the one before it.
\set ON_ERROR_STOP on
set synchronous_commit = off;

select format('alter table public.%I add constraint %I foreign key (other) references public.%I (id)',
              'table_' || i, 'reference_' || i, 'table_' || i - 1)
from generate_series(3, greatest(30, (3000 * :scale)::int), 3) i
order by i
\gexec
