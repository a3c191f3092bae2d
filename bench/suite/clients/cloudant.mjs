/** IBM's Cloudant SDK. */
export async function cloudant(url) {
  const { CloudantV1, ChangesFollower } = await import('@ibm-cloud/cloudant');
  const { BasicAuthenticator, NoAuthAuthenticator } = await import('ibm-cloud-sdk-core');
  const { origin, pathname, username, password } = new URL(url);
  const authenticator =
    username === ''
      ? new NoAuthAuthenticator()
      : new BasicAuthenticator({
          username: decodeURIComponent(username),
          password: decodeURIComponent(password),
        });
  const service = new CloudantV1({ authenticator, serviceUrl: origin });
  const db = pathname.slice(1);
  return {
    get: (docId) => service.getDocument({ db, docId }),
    save: (document) => service.putDocument({ db, docId: document._id, document }),
    getMany: (keys) => service.postAllDocs({ db, keys, includeDocs: true }),
    saveMany: (docs) => service.postBulkDocs({ db, bulkDocs: { docs } }),
    viewWhole(name, onRow) {
      const [ddoc, view] = name.split('/');
      return service
        .postView({ db, ddoc, view })
        .then(({ result }) => result.rows.forEach((row) => onRow(row)));
    },
    feed({ includeDocs }, onChange) {
      const follower = new ChangesFollower(service, { db, since: '0', includeDocs });
      follower
        .start()
        .on('data', onChange)
        .on('error', () => {});
      return () => follower.stop();
    },
  };
}
