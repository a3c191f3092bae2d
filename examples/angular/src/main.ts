import { bootstrapApplication } from '@angular/platform-browser';
import { provideRouter, withComponentInputBinding } from '@angular/router';
import { provideCorduroy } from 'corduroy/angular';
import { App } from './app/app';
import { routes } from './app/routes';

bootstrapApplication(App, {
  providers: [
    provideRouter(routes, withComponentInputBinding()),
    // CouchDB is behind the same origin as the page, and who asks is in the browser's cookie.
    provideCorduroy({ url: `${location.origin}/couch` }),
  ],
}).catch((error: unknown) => console.error(error));
