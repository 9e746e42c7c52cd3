-- Extensions that only a superuser can create here, in the version that would be created. From 13 on, some are trusted.
select v.name::text as name
from pg_catalog.pg_available_extension_versions v
join pg_catalog.pg_available_extensions a on a.name = v.name and a.default_version = v.version
cross join lateral (select pg_catalog.to_jsonb(v) as row) j
where v.superuser
  and not coalesce((j.row ->> 'trusted')::bool, false)
order by v.name
