-- What a new database has that is missing or changed in this one, each with the statement that makes it so again: the schema public
-- with the owner, privileges and comment that initdb gives it (since 15 it belongs to pg_database_owner, and only that role creates
-- in it), and the language plpgsql. No row if all is as it was.
with usual as (
    select r.oid as owner, r.rolname as owner_name,
           case when pg_catalog.current_setting('server_version_num')::int4 >= 150000 then array['USAGE'] else array['CREATE', 'USAGE'] end as for_public
    from pg_catalog.pg_roles r
    where case when pg_catalog.current_setting('server_version_num')::int4 >= 150000 then r.rolname = 'pg_database_owner' else r.oid = 10 end
), usual_acl as (
    select u.owner as grantor, u.owner as grantee, p.privilege as privilege_type, false as is_grantable
    from usual u cross join pg_catalog.unnest(array['CREATE', 'USAGE']) as p(privilege)
    union all
    select u.owner, 0::oid, p.privilege, false
    from usual u cross join lateral pg_catalog.unnest(u.for_public) as p(privilege)
), there as (
    select n.oid, n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) as acl,
           pg_catalog.obj_description(n.oid, 'pg_namespace') as comment
    from pg_catalog.pg_namespace n
    where n.nspname = 'public'
), wanted as (
    select 1 as place, 'the schema public' as what, 'create schema public' as statement
    where not exists (select from there)
    union all
    select 2, 'the owner of the schema public', pg_catalog.format('alter schema public owner to %I', u.owner_name)
    from usual u
    where not exists (select from there t where t.nspowner = u.owner)
    union all
    select 3, 'the privileges on the schema public',
           pg_catalog.concat_ws('; ',
               (select pg_catalog.string_agg(pg_catalog.format('revoke all on schema public from %s cascade',
                                                               case when g.grantee = 0 then 'public'
                                                                    else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) end), '; ')
                from (select distinct a.grantee from there t cross join lateral pg_catalog.aclexplode(t.acl) a) g),
               pg_catalog.format('grant all on schema public to %I', u.owner_name),
               'grant ' || pg_catalog.array_to_string(u.for_public, ', ') || ' on schema public to public')
    from usual u
    where not exists (select from there t where t.nspowner = u.owner)
       or exists (select * from usual_acl except select a.* from there t cross join lateral pg_catalog.aclexplode(t.acl) a)
       or exists (select a.* from there t cross join lateral pg_catalog.aclexplode(t.acl) a except select * from usual_acl)
    union all
    select 4, 'the comment on the schema public', 'comment on schema public is ''standard public schema'''
    where not exists (select from there t where t.comment = 'standard public schema')
    union all
    select 5, 'the extension plpgsql', 'create extension plpgsql schema pg_catalog'
    where not exists (select from pg_catalog.pg_extension e where e.extname = 'plpgsql')
)
select what, statement
from wanted
order by place
