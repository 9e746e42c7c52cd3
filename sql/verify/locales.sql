-- Encoding and locale of the connected database (no schema), and the collations that its columns and indexes use: the version
-- with which they were made, and the one there is now. Both are null where nobody keeps a version.
select null::text as schema,
       d.datname::text as name,
       pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       j.row ->> 'datlocprovider' as provider,
       coalesce(j.row ->> 'datlocale', j.row ->> 'daticulocale') as locale,
       d.datcollate::text as lc_collate,
       d.datctype::text as lc_ctype,
       d.datcollversion as recorded,
       pg_catalog.pg_database_collation_actual_version(d.oid) as actual
from pg_catalog.pg_database d
cross join lateral (select pg_catalog.to_jsonb(d) as row) j
where d.datname = pg_catalog.current_database()
union all
select n.nspname::text,
       c.collname::text,
       null,
       c.collprovider::text,
       coalesce(j.row ->> 'colllocale', j.row ->> 'colliculocale'),
       c.collcollate::text,
       c.collctype::text,
       c.collversion,
       pg_catalog.pg_collation_actual_version(c.oid)
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
cross join lateral (select pg_catalog.to_jsonb(c) as row) j
where c.collprovider <> 'd'
  and exists (select
              from pg_catalog.pg_attribute a
              join pg_catalog.pg_class r on r.oid = a.attrelid
              join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
              where a.attcollation = c.oid
                and a.attnum > 0
                and not a.attisdropped
                and rn.nspname !~ '^pg_'
                and rn.nspname <> 'information_schema')
