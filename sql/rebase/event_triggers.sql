-- Event triggers of the target that belong to no extension: they would fire on what a resumed run does.
select e.evtname::text as name
  from pg_catalog.pg_event_trigger e
 where not exists (select from pg_catalog.pg_depend d
                    where d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
                      and d.objid = e.oid
                      and d.deptype = 'e')
 order by 1;
