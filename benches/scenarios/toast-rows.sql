-- Every :parts-th row, from :part on, of each of the three tables. The sizes go round from 1 to 10 MB.
\set ON_ERROR_STOP on
set synchronous_commit = off;

-- So many MB of hexadecimal noise.
create function pg_temp.noise(seed text, megabytes int) returns text language sql immutable as
  $$ select string_agg(md5($1 || g), '') from generate_series(1, $2 * 32768) g $$;

insert into public.files
select i, 'file ' || i, decode(pg_temp.noise('f' || i, 2 * (1 + i % 10)), 'hex')
from generate_series(:part, greatest(10, (80 * :scale)::int) - 1, :parts) i;

insert into public.pages
select i, 'page ' || i, pg_temp.noise('p' || i, 1 + i % 10)
from generate_series(:part, greatest(10, (80 * :scale)::int) - 1, :parts) i;

-- Objects with some keys that come again and some values that don't.
insert into public.documents
select i, (select jsonb_agg(jsonb_build_object('id', g, 'name', md5(i || 'n' || g), 'score', g % 97, 'open', g % 3 = 0,
                                               'parts', jsonb_build_array(g % 7, md5(i || 'a' || g), null)))
           from generate_series(1, (1 + i % 10) * 6200) g)
from generate_series(:part, greatest(10, (80 * :scale)::int) - 1, :parts) i;
