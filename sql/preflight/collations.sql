-- Collations of the system that can be used in this database, and whether its columns, types or indexes use them.
select c.collname::text as name,
       pg_catalog.bool_or(exists (select from pg_catalog.pg_attribute a
                                  join pg_catalog.pg_class r on r.oid = a.attrelid
                                  join pg_catalog.pg_namespace n on n.oid = r.relnamespace
                                  where a.attcollation = c.oid and a.attnum > 0 and not a.attisdropped
                                    and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')
                          or exists (select from pg_catalog.pg_type t
                                     join pg_catalog.pg_namespace n on n.oid = t.typnamespace
                                     where t.typcollation = c.oid
                                       and n.nspname !~ '^pg_' and n.nspname <> 'information_schema')) as used
from pg_catalog.pg_collation c
where c.collnamespace = 'pg_catalog'::regnamespace
  and c.collencoding in (-1, (select d.encoding from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
group by c.collname
order by c.collname
