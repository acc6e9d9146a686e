import { healthParameters } from './_health.js'
import type { DescribedCall } from './_openapi.js'
import { abortParameters, eventParameters, readParameters, searchParameters } from './wire.js'

/** What is told of every call: the table that both the answers and their description are made from. */
export const calls = {
  search: {
    name: 'search',
    method: 'GET',
    path: '/_search',
    summary: 'Finds executions in the log, newest first.',
    parameters: searchParameters,
    answers: { 200: { description: 'A page of the log.', schema: 'Log' } },
  },
  events: {
    name: 'events',
    method: 'GET',
    path: '/_events',
    summary: 'Streams what happens to jobs as server-sent events.',
    parameters: eventParameters,
    answers: {
      200: { description: 'A stream of events: see the page on live events.', mediaType: 'text/event-stream' },
    },
  },
  health: {
    name: 'health',
    method: 'GET',
    path: '/_health',
    summary: 'Tells how the registry is that answers.',
    parameters: healthParameters,
    answers: {
      200: { description: 'All is well.', schema: 'Health' },
      503: { description: 'The storage does not answer or is read-only, or the registry is closed.', schema: 'Health' },
    },
  },
  openapi: {
    name: 'openapi',
    method: 'GET',
    path: '/_openapi',
    summary: 'Gives this description.',
    parameters: {},
    answers: { 200: { description: 'An OpenAPI 3.1 document.', schema: 'OpenApi' } },
  },
  running: {
    name: 'running',
    method: 'GET',
    path: '/{type}',
    summary: 'Lists the running jobs of a type, in any process that shares the storage, the oldest start first.',
    parameters: readParameters,
    answers: {
      200: { description: 'The jobs of the type that run.', schema: 'Jobs' },
      404: { description: 'No job of that type is defined, and the log has none.', schema: 'Error' },
    },
  },
  status: {
    name: 'status',
    method: 'GET',
    path: '/{type}/{id}',
    summary: 'Gives the status of the execution of a job that runs, else of the last one.',
    parameters: readParameters,
    answers: {
      200: { description: 'The job, and its status if it ever ran.', schema: 'Job' },
      404: { description: 'The job is not defined and never ran.', schema: 'UnknownJob' },
    },
  },
  abort: {
    name: 'abort',
    method: 'POST',
    path: '/{type}/{id}/_abort',
    summary: 'Asks a job to stop, in whichever process it runs, and waits until it has.',
    parameters: abortParameters,
    answers: {
      200: { description: 'The job has stopped, or had ended before.', schema: 'Job' },
      202: { description: 'The job has not stopped yet, and goes on stopping.', schema: 'Job' },
      404: { description: 'The job never ran.', schema: 'UnknownJob' },
    },
  },
  start: {
    name: 'start',
    method: 'POST',
    path: '/{type}/{id}/_start',
    summary: 'Starts a job.',
    parameters: {},
    answers: {
      201: { description: 'The job runs, or waits for a free slot.', schema: 'Job' },
      404: { description: 'The job is not defined in the registry that answers.', schema: 'Error' },
      409: { description: 'The job runs already, in some process that shares the storage.', schema: 'Error' },
    },
  },
} satisfies Record<string, DescribedCall>
