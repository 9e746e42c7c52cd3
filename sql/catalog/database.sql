-- What the connected database was created with: one row. Columns that came with later versions (the locale's provider in
-- 15, ICU rules in 16) are asked for by name in the row's JSON, so that one text serves all servers.
select d.datname::text as name,
       pg_catalog.pg_get_userbyid(d.datdba)::text as owner,
       pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       d.datcollate::text as lc_collate,
       d.datctype::text as lc_ctype,
       coalesce(j.row ->> 'datlocprovider', 'c') as provider,
       coalesce(j.row ->> 'datlocale', j.row ->> 'daticulocale') as locale,
       j.row ->> 'daticurules' as icu_rules,
       t.spcname::text as tablespace,
       d.datconnlimit as connection_limit,
       d.datacl is not null as has_grants,
       pg_catalog.shobj_description(d.oid, 'pg_database') as comment
from pg_catalog.pg_database d
join pg_catalog.pg_tablespace t on t.oid = d.dattablespace
cross join lateral (select pg_catalog.to_jsonb(d) as row) j
where d.datname = pg_catalog.current_database()
