-- Every :parts-th large object, from :part on; a thousand in one transaction, so that no server runs out of locks.
\set ON_ERROR_STOP on
set synchronous_commit = off;

-- So many kB of noise.
create function pg_temp.noise(seed text, kilobytes int) returns bytea language sql immutable as
  $$ select decode(string_agg(md5($1 || g), ''), 'hex') from generate_series(1, $2 * 64) g $$;

select format('insert into public.attachments
               select i, ''attachment '' || i, lo_from_bytea(200000 + i, pg_temp.noise(''b'' || i, 1 + i %% 8))
               from generate_series(%s, %s, %s) i',
              first, least(first + :parts * 999, greatest(200, (100000 * :scale)::int) - 1), :parts)
from generate_series(:part, greatest(200, (100000 * :scale)::int) - 1, :parts * 1000) first
order by first
\gexec
