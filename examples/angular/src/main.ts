import { bootstrapApplication } from '@angular/platform-browser';
import { provideRouter, withComponentInputBinding } from '@angular/router';
import { provideCorduroy } from 'corduroy/angular';
import { App } from './app/app';
import { routes } from './app/routes';

bootstrapApplication(App, {
  providers: [
    provideRouter(routes, withComponentInputBinding()),
    // The page and CouchDB share an origin, so the browser sends the session cookie.
    provideCorduroy({ url: `${location.origin}/couch` }),
  ],
}).catch((error: unknown) => console.error(error));
