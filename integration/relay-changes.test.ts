// The tests of feeds again, with a relay between Corduroy and the server. The order of imports matters.
import './helpers/through-relay.ts';
import './changes.test.ts';
import './consume.test.ts';
import './feed-filters.test.ts';
import './feed-restart.test.ts';
import './live.test.ts';
