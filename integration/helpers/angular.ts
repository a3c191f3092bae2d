import '@angular/compiler';
import { Component, DOCUMENT, ErrorHandler, RendererFactory2 } from '@angular/core';
import type { EnvironmentProviders, Provider, Renderer2, Type } from '@angular/core';
import { TestBed, TestComponentRenderer } from '@angular/core/testing';
import { BrowserTestingModule, platformBrowserTesting } from '@angular/platform-browser/testing';
import type { ComponentFixture } from '@angular/core/testing';

/** A minimal DOM node, enough for Angular to render into. */
class PageNode {
  readonly children: PageNode[] = [];
  readonly name: string;
  parent: PageNode | null = null;
  text: string;

  constructor(name: string, text = '') {
    this.name = name;
    this.text = text;
  }

  /** The text of this node and its descendants. */
  get textContent(): string {
    return this.text + this.children.map((child) => child.textContent).join('');
  }

  insert(node: PageNode, before: PageNode | null): void {
    node.remove();
    node.parent = this;
    const at = before === null ? -1 : this.children.indexOf(before);
    this.children.splice(at < 0 ? this.children.length : at, 0, node);
  }

  remove(): void {
    const siblings = this.parent?.children ?? [];
    if (siblings.includes(this)) siblings.splice(siblings.indexOf(this), 1);
    this.parent = null;
  }
}

const nothing = (): void => {};

/** Renders elements and text, and ignores attributes, styles and events. */
const renderer = {
  data: {},
  destroyNode: null,
  destroy: nothing,
  createElement: (name: string) => new PageNode(name),
  createComment: () => new PageNode('#comment'),
  createText: (text: string) => new PageNode('#text', text),
  appendChild: (parent: PageNode, child: PageNode) => parent.insert(child, null),
  insertBefore: (parent: PageNode, child: PageNode, before: PageNode | null) =>
    parent.insert(child, before),
  removeChild: (_parent: unknown, child: PageNode) => child.remove(),
  selectRootElement: () => new PageNode('root'),
  parentNode: (node: PageNode) => node.parent,
  nextSibling: (node: PageNode) => node.parent?.children[node.parent.children.indexOf(node) + 1],
  setAttribute: nothing,
  removeAttribute: nothing,
  addClass: nothing,
  removeClass: nothing,
  setStyle: nothing,
  removeStyle: nothing,
  setProperty: nothing,
  setValue: (node: PageNode, text: string) => {
    node.text = text;
  },
  listen: () => nothing,
} as unknown as Renderer2;

function rethrow(error: unknown): never {
  throw error;
}

const page: Provider[] = [
  { provide: DOCUMENT, useValue: { getElementById: () => null } },
  { provide: ErrorHandler, useValue: { handleError: rethrow } },
  { provide: RendererFactory2, useValue: { createRenderer: () => renderer } },
  {
    provide: TestComponentRenderer,
    useValue: { insertRootElement: nothing, removeAllRootElements: nothing },
  },
];

let initialized = false;

/** Resets `TestBed`, which then renders without a browser. */
export function testBed(...providers: (Provider | EnvironmentProviders)[]): void {
  if (!initialized) {
    // Angular checks values with `instanceof Node`.
    Object.assign(globalThis, { Node: PageNode });
    TestBed.initTestEnvironment(BrowserTestingModule, platformBrowserTesting());
  }
  initialized = true;
  TestBed.resetTestingModule();
  TestBed.configureTestingModule({ providers: [...page, ...providers] });
}

/** Renders a component. `text()` returns its text. */
export function render<C>(Class: Type<C>): ComponentFixture<C> & { text(): string } {
  const fixture = TestBed.createComponent(Class);
  fixture.detectChanges();
  return Object.assign(fixture, {
    text: () => (fixture.nativeElement as PageNode).textContent,
  });
}

/** Creates a component from a class, without a decorator. */
export function component<C>(template: string, Class: Type<C>): Type<C> {
  return Component({ template, selector: 'page-under-test' })(Class);
}
