import { type } from 'arktype';
import { Couch } from 'corduroy';
import type { Database, Document, LiveDocument } from 'corduroy';
import { expectTypeOf } from 'expect-type';
import * as v from 'valibot';
import { z } from 'zod';

// The types of a database with a schema are those of the schema: its input is saved, its output is read.

const couch = new Couch();
const pets = couch.use('pets', {
  schema: z.object({
    name: z.string(),
    born: z.string().transform((text) => new Date(text)),
    tags: z.array(z.string()).default([]),
  }),
  validate: 'both',
});
interface In {
  name: string;
  born: string;
  tags?: string[] | undefined;
}
interface Out {
  name: string;
  born: Date;
  tags: string[];
}
expectTypeOf(pets).toEqualTypeOf<Database<In, Out>>();
pets.get('ada').subscribe((doc) => expectTypeOf(doc).toEqualTypeOf<Document<Out>>());
pets.doc$('ada').subscribe((doc) => {
  expectTypeOf(doc).toEqualTypeOf<LiveDocument<Out> | null>();
});

// What the schema takes is saved, and what was read is saved again.
pets.save({ name: 'Ada', born: '2020-01-01' });
pets.get('ada').subscribe((doc) => pets.save(doc));
pets.upsert('ada', (doc) => (doc === null ? null : { ...doc, born: new Date() }));
pets.saveAll([{ name: 'Ada', born: '2020-01-01' }]);
// @ts-expect-error -- the name must be a string
pets.save({ name: 5, born: '2020-01-01' });
pets.find({ selector: { born: { $lt: '2020' } } });

const ark = couch.use('pets', { schema: type({ name: 'string', born: 'string.date.parse' }) });
ark.get('ada').subscribe(({ born }) => expectTypeOf(born).toEqualTypeOf<Date>());
const valibot = couch.use('pets', { schema: v.object({ name: v.string(), legs: v.number() }) });
valibot.get('ada').subscribe(({ legs }) => expectTypeOf(legs).toEqualTypeOf<number>());

const branded = couch.use('pets', {
  schema: z.object({ owner: z.string().brand('OwnerId') }),
  onInvalid: 'keep',
});
branded.get('ada').subscribe(({ owner }) => {
  expectTypeOf(owner).toEqualTypeOf<string & z.core.$brand<'OwnerId'>>();
});

// @ts-expect-error -- no schema
couch.use('pets', { schema: { type: 'object' } });
// @ts-expect-error -- no moment
couch.use('pets', { schema: z.object({}), validate: 'always' });
