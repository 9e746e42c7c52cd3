-- Encoding and locale of the connected database (no schema), and the collations that its columns and indexes use: the version
-- with which they were made, and the one there is now. Both are null where nobody keeps a version.
-- Up to version 14 a database keeps none; the collation of the same name tells what there is now.
select null::text as schema,
       d.datname::text as name,
       pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       'c'::text as provider,
       null::text as locale,
       d.datcollate::text as lc_collate,
       d.datctype::text as lc_ctype,
       null::text as recorded,
       (select pg_catalog.pg_collation_actual_version(c.oid)
        from pg_catalog.pg_collation c
        where c.collprovider = 'c' and c.collcollate = d.datcollate and c.collencoding in (-1, d.encoding)
        order by c.oid
        limit 1) as actual
from pg_catalog.pg_database d
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
